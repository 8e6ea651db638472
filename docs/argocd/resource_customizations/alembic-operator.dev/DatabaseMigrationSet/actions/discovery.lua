-- What a person can do about a DatabaseMigrationSet now. The names of the actions show what their parameters take.
local status = obj.status or {}
local rollout = status.rollout or {}
local plan = ""
local wave = ""
local ready = nil
for _, condition in ipairs(status.conditions or {}) do
  if condition.type == "Ready" then
    ready = condition.reason
  end
end
if ready == "AwaitingApproval" then
  for _, one in ipairs(rollout.plans or {}) do
    if not one.approved and plan == "" then
      plan = one.hash
    end
  end
end
for _, one in ipairs(rollout.waves or {}) do
  if one.state == "AwaitingPromotion" then
    wave = rollout.number .. "/" .. one.name
  end
end
local paused = obj.metadata.annotations ~= nil and obj.metadata.annotations["alembic-operator.dev/suspend"] == "true"

return {
  ["approve"] = {
    ["disabled"] = plan == "",
    ["displayName"] = "Approve plan " .. plan,
    ["iconClass"] = "fa fa-fw fa-check",
    ["params"] = { { ["name"] = "plan" } },
  },
  ["promote"] = {
    ["disabled"] = wave == "",
    ["displayName"] = "Promote wave " .. wave,
    ["iconClass"] = "fa fa-fw fa-forward",
    ["params"] = { { ["name"] = "wave" } },
  },
  ["pause"] = {
    ["disabled"] = paused,
    ["displayName"] = "Pause",
    ["iconClass"] = "fa fa-fw fa-pause",
  },
  ["resume"] = {
    ["disabled"] = not paused,
    ["displayName"] = "Resume",
    ["iconClass"] = "fa fa-fw fa-play",
  },
  ["retry"] = {
    ["displayName"] = "Retry the failed targets",
    ["iconClass"] = "fa fa-fw fa-redo",
  },
}
