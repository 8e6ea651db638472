-- To reject does no harm: without a parameter it is about the plan that the object shows now.
local plan = actionParams["plan"]
if plan == nil or plan == "" then
  plan = obj.status ~= nil and obj.status.plan ~= nil and obj.status.plan.hash or nil
end
if plan == nil then
  error("there is no plan to reject", 0)
end
obj.metadata.annotations = obj.metadata.annotations or {}
obj.metadata.annotations["alembic-operator.dev/reject"] = plan
return obj
