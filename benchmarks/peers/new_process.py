"""Script that gets one token through our hook in a new interpreter."""

from airflow_okta_workflows.hooks.okta_workflows import OktaWorkflowsHook

if __name__ == "__main__":
    OktaWorkflowsHook().get_access_token()
