-- No batch is started from now on; the one at work is left to finish.
obj.metadata.annotations = obj.metadata.annotations or {}
obj.metadata.annotations["alembic-operator.dev/suspend"] = "true"
return obj
