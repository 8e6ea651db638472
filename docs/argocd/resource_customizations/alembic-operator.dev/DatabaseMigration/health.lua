-- Health of a DatabaseMigration or a DatabaseMigrationSet, from its conditions (kstatus: Ready, Reconciling, Stalled).
local hs = { status = "Progressing", message = "Waiting for the operator" }

-- These wait for a person. Degraded would fail the sync that waits, Suspended does not.
local waits_for_a_person = {
  AwaitingApproval = true,
  AwaitingPromotion = true,
  PlanOnly = true,
  Suspended = true,
}

if obj.status == nil or obj.status.conditions == nil then
  return hs
end
-- What an earlier generation had reached says nothing about this one.
if obj.status.observedGeneration ~= obj.metadata.generation then
  return hs
end

local ready, stalled
for _, condition in ipairs(obj.status.conditions) do
  if condition.type == "Ready" then
    ready = condition
  elseif condition.type == "Stalled" then
    stalled = condition
  end
end
if ready == nil or (ready.observedGeneration ~= nil and ready.observedGeneration ~= obj.metadata.generation) then
  return hs
end

hs.message = ready.reason
if ready.message ~= nil and ready.message ~= "" then
  hs.message = ready.reason .. ": " .. ready.message
end
if ready.status == "True" then
  hs.status = "Healthy"
elseif waits_for_a_person[ready.reason] then
  hs.status = "Suspended"
elseif stalled ~= nil and stalled.status == "True" then
  hs.status = "Degraded"
end
return hs
