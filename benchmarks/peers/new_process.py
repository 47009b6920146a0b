"""One token by our hook, in an interpreter that nobody has warmed up."""

from airflow_okta_workflows.hooks.okta_workflows import OktaWorkflowsHook

if __name__ == "__main__":
    OktaWorkflowsHook().get_access_token()
