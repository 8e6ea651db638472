-- A new value asks the operator to look again, and to try again what failed.
local os = require("os")
obj.metadata.annotations = obj.metadata.annotations or {}
obj.metadata.annotations["alembic-operator.dev/requestedAt"] = os.date("!%Y-%m-%dT%H:%M:%SZ")
return obj
