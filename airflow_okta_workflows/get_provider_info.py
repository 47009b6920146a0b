"""The provider metadata for Airflow. Every Airflow process loads this module, so it imports nothing."""


def get_provider_info() -> dict:  # type: ignore[type-arg]  # naming the type of the values would need an import of typing
    """Return the provider's metadata.

    The fields of the connection form are defined only here: Airflow 3.2 and later reads them from here, earlier
    versions through the hook's class methods, and the checks of a connection take the field names from here.
    """
    return {
        "package-name": "airflow-provider-okta-workflows",
        "name": "Okta Workflows",
        "description": "Invokes OAuth 2.0 secured Okta Workflows flows.",
        "integrations": [
            {
                "integration-name": "Okta Workflows",
                "external-doc-url": "https://help.okta.com/wf/en-us/content/topics/workflows/workflows-main.htm",
                # Where Airflow's own providers have theirs. The file is docs/images/okta-workflows.svg.
                "logo": "/docs/integration-logos/okta-workflows.svg",
                "tags": ["service"],
            }
        ],
        "connection-types": [
            {
                "connection-type": "okta_workflows",
                "hook-class-name": "airflow_okta_workflows.hooks.okta_workflows.OktaWorkflowsHook",
                "hook-name": "Okta Workflows",
                "ui-field-behaviour": {
                    "hidden-fields": ["schema"],
                    "relabeling": {
                        "host": "Okta domain",
                        "login": "Client ID",
                        "password": "Private key",
                    },
                    "placeholders": {
                        "host": "acme.okta.com, or the org's one custom domain",
                        "login": "0oa… of the API Services app",
                        "password": "the app's private key: a JWK or a PEM",
                        "port": "443; Airflow 3.3.1 and 3.3.2 test no connection without it",
                    },
                },
                "conn-fields": {
                    "flows": {
                        "label": "Flows",
                        "description": 'The names DAGs use, and each flow\'s alias or invoke URL: {"onboard":'
                        ' "1a2b…"}.',
                        "schema": {"type": ["object", "null"]},
                    },
                    "workflows_host": {
                        "label": "Workflows host",
                        "description": "Such as acme.workflows.okta.com. Default: derived from the Okta domain;"
                        " needed with a custom domain.",
                        "schema": {"type": ["string", "null"]},
                    },
                    "key_id": {
                        "label": "Key ID",
                        "description": "The key's kid in Okta. A JWK contains it; a PEM needs it once the app has"
                        " more than one key.",
                        "schema": {"type": ["string", "null"]},
                    },
                    "key_passphrase": {
                        "label": "Key passphrase",
                        "description": "For an encrypted PEM.",
                        "schema": {"type": ["string", "null"], "format": "password"},
                    },
                    "key_file": {
                        "label": "Key file",
                        "description": "Path of the private key on the workers and the triggerer, instead of"
                        " the key itself.",
                        "schema": {"type": ["string", "null"]},
                    },
                    "algorithm": {
                        "label": "Algorithm",
                        "description": "Of the client assertion's signature. Default: RS256 for an RSA key,"
                        " ES256, ES384 or ES512 for an EC key.",
                        "schema": {"type": ["string", "null"]},
                    },
                    "allowed_hosts": {
                        "label": "Allowed hosts",
                        "description": "Further hosts that may receive the token: host or host:port, separated by"
                        " commas. The workflows host and the hosts in Flows are always allowed.",
                        "schema": {"type": ["string", "null"]},
                    },
                    "scope": {
                        "label": "Scope",
                        "description": "Scopes to request, separated by spaces. Default: okta.workflows.invoke.manage.",
                        "schema": {"type": ["string", "null"]},
                    },
                    "assertion_lifetime": {
                        "label": "Assertion lifetime",
                        "description": "Seconds that a client assertion is valid, 60 to 3600. Default: 300.",
                        "schema": {"type": ["integer", "null"]},
                    },
                    "connect_timeout": {
                        "label": "Connect timeout",
                        "description": "Seconds that connecting may take. Default: 10.",
                        "schema": {"type": ["number", "null"]},
                    },
                    "read_timeout": {
                        "label": "Read timeout",
                        "description": "Seconds that a response may take; Okta ends a flow's call after 60."
                        " Default: 65.",
                        "schema": {"type": ["number", "null"]},
                    },
                    "rate_limit_wait": {
                        "label": "Rate limit wait",
                        "description": "Seconds that one call may spend waiting on 429. Default: 120.",
                        "schema": {"type": ["number", "null"]},
                    },
                    "max_response_bytes": {
                        "label": "Largest response",
                        "description": "Maximum size of a flow's response, in bytes. Default: 10485760 (10 MiB).",
                        "schema": {"type": ["integer", "null"]},
                    },
                    "verify": {
                        "label": "TLS verification",
                        "description": "Path of a CA bundle, or false to trust anyone. Default: the usual authorities.",
                        "schema": {"type": ["string", "null"]},
                    },
                    "http_proxy": {
                        "label": "HTTP proxy",
                        "description": "URL of the proxy for all requests. Default: the environment's.",
                        "schema": {"type": ["string", "null"]},
                    },
                    "insecure_http": {
                        "label": "Allow plain HTTP",
                        "description": "Allows http:// for the domain and the flows on other machines. For a local"
                        " org only: the token travels in clear text.",
                        # With a default, every form stores a boolean, which http_guard.py needs.
                        "schema": {"type": ["boolean", "null"], "default": False},
                    },
                },
            }
        ],
        "hooks": [
            {
                "integration-name": "Okta Workflows",
                "python-modules": ["airflow_okta_workflows.hooks.okta_workflows"],
            }
        ],
        "operators": [
            {
                "integration-name": "Okta Workflows",
                "python-modules": ["airflow_okta_workflows.operators.okta_workflows"],
            }
        ],
        "sensors": [
            {
                "integration-name": "Okta Workflows",
                "python-modules": ["airflow_okta_workflows.sensors.okta_workflows"],
            }
        ],
        "triggers": [
            {
                "integration-name": "Okta Workflows",
                "python-modules": ["airflow_okta_workflows.triggers.okta_workflows"],
            }
        ],
        "task-decorators": [
            {
                "name": "okta_flow",
                "class-name": "airflow_okta_workflows.decorators.okta_workflows.okta_flow_task",
            },
            {
                "name": "okta_flow_batch",
                "class-name": "airflow_okta_workflows.decorators.okta_workflows.okta_flow_batch_task",
            },
        ],
        # For catalogs of providers: Airflow 3.3 uses a policy without looking it up here.
        "retry-policies": ["airflow_okta_workflows.retry_policy.OktaFlowRetryPolicy"],
        "notifications": ["airflow_okta_workflows.notifications.okta_workflows.OktaFlowNotifier"],
        "extra-links": ["airflow_okta_workflows.links.okta_workflows.OktaFlowLink"],
        "cli": ["airflow_okta_workflows.cli.airflow_commands.get_okta_workflows_commands"],
        "config": {
            "okta_workflows": {
                "description": "Settings of the Okta Workflows provider.",
                "options": {
                    "token_cache": {
                        "description": "Who shares an access token: ``disk`` for all processes of this user on a host,"
                        " through an encrypted file in a private directory; ``memory`` for one process; ``off`` for"
                        " one hook object.",
                        "version_added": "0.1.0",
                        "type": "string",
                        "example": None,
                        "default": "disk",
                    },
                    "token_cache_dir": {
                        "description": "The directory of this provider's files. It must belong to the user that runs"
                        " Airflow, and nobody else may write to it. Default: ``airflow-okta-workflows`` in the"
                        " user's cache directory.",
                        "version_added": "0.1.0",
                        "type": "string",
                        "example": "/var/cache/airflow/okta-workflows",
                        "default": "",
                    },
                    "pace": {
                        "description": "Who shares the pace of a flow, so that together they stay within its limit:"
                        " ``host`` for all processes of this user on a host, through a file in the directory of"
                        " ``token_cache_dir``; ``redis`` for all hosts, through the Redis server of ``redis_url``;"
                        " ``process`` for one process; ``off`` for no pace, except that a batch keeps its"
                        " ``max_rate``.",
                        "version_added": "0.1.0",
                        "type": "string",
                        "example": None,
                        "default": "host",
                    },
                    # A separate option, because it is sensitive: Airflow masks the value of such an option in every
                    # log, and would replace even the word "process" by ***.
                    "redis_url": {
                        "description": "The Redis server for ``pace = redis``, which needs the extra ``redis``. With"
                        " ``rediss://`` the connection is encrypted; ``?ssl_ca_certs=PATH`` names the certificates to"
                        " trust. Percent-encode user and password, and double each ``%`` in ``airflow.cfg``.",
                        "version_added": "0.1.0",
                        "type": "string",
                        "example": "rediss://airflow:PASSWORD@redis.example.com:6379/1",
                        "default": "",
                        "sensitive": True,
                    },
                    "flow_rate": {
                        "description": "Invocations per second of one flow. Okta allows 10.",
                        "version_added": "0.1.0",
                        "type": "float",
                        "example": None,
                        "default": "10",
                    },
                },
            }
        },
    }
