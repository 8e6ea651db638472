-- The parameter names the schema that was read, so that a change made after it is not accepted.
local fingerprint = actionParams["fingerprint"]
local shown = obj.status ~= nil and obj.status.drift ~= nil and obj.status.drift.fingerprint or nil
if shown == nil then
  error("there is no drift to accept", 0)
end
if fingerprint ~= shown then
  error("the parameter fingerprint has to be status.drift.fingerprint as you have read it; it is " .. shown .. " now", 0)
end
obj.metadata.annotations = obj.metadata.annotations or {}
obj.metadata.annotations["alembic-operator.dev/accept-drift"] = fingerprint
return obj
