-- Health of a DatabaseMigration for Argo CD: resource.customizations.health.alembic-operator.dev_DatabaseMigration
local hs = { status = "Progressing", message = "waiting for the operator" }
if obj.status == nil or obj.status.conditions == nil then
  return hs
end
-- What an older generation had reached says nothing about this one.
if obj.status.observedGeneration ~= obj.metadata.generation then
  return hs
end
local by_type = {}
for _, condition in ipairs(obj.status.conditions) do
  by_type[condition.type] = condition
end
local ready = by_type["Ready"]
if ready == nil then
  return hs
end
hs.message = ready.reason .. ": " .. (ready.message or "")
if ready.status == "True" then
  hs.status = "Healthy"
elseif ready.reason == "Suspended" or ready.reason == "AwaitingApproval" or ready.reason == "PlanOnly" then
  -- Not Degraded: that would fail the sync wave that waits.
  hs.status = "Suspended"
elseif by_type["Stalled"] ~= nil and by_type["Stalled"].status == "True" then
  hs.status = "Degraded"
end
return hs
