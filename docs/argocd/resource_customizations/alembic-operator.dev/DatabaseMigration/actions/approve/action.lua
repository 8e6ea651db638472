-- The parameter names the plan that was read, so that another one that has taken its place meanwhile is not approved.
local plan = actionParams["plan"]
local shown = obj.status ~= nil and obj.status.plan ~= nil and obj.status.plan.hash or nil
if shown == nil then
  error("there is no plan to approve", 0)
end
if plan ~= shown then
  error("the parameter plan has to be the hash of the plan that you have read; the one that waits now is " .. shown, 0)
end
obj.metadata.annotations = obj.metadata.annotations or {}
obj.metadata.annotations["alembic-operator.dev/approve"] = plan
return obj
