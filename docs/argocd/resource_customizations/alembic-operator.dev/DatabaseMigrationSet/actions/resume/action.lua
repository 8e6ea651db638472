-- Takes pause back.
obj.metadata.annotations = obj.metadata.annotations or {}
obj.metadata.annotations["alembic-operator.dev/suspend"] = "false"
return obj
