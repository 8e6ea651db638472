-- What a person can do about a DatabaseMigration now. The names of the actions show the hashes that their parameters take.
local status = obj.status or {}
local plan = ""
local waits = false
for _, condition in ipairs(status.conditions or {}) do
  if condition.type == "Ready" and condition.reason == "AwaitingApproval" then
    waits = true
  end
end
if waits and status.plan ~= nil and status.plan.hash ~= nil then
  plan = status.plan.hash
end

local fingerprint = ""
if status.drift ~= nil and status.drift.fingerprint ~= nil and status.drift.objects ~= nil and #status.drift.objects > 0 then
  fingerprint = status.drift.fingerprint
end

return {
  ["approve"] = {
    ["disabled"] = plan == "",
    ["displayName"] = "Approve plan " .. plan,
    ["iconClass"] = "fa fa-fw fa-check",
    ["params"] = { { ["name"] = "plan" } },
  },
  ["reject"] = {
    ["disabled"] = plan == "",
    ["displayName"] = "Reject plan " .. plan,
    ["iconClass"] = "fa fa-fw fa-times",
    ["params"] = { { ["name"] = "plan" } },
  },
  ["retry"] = {
    ["displayName"] = "Retry",
    ["iconClass"] = "fa fa-fw fa-redo",
  },
  ["accept-drift"] = {
    ["disabled"] = fingerprint == "",
    ["displayName"] = "Accept the schema " .. fingerprint,
    ["iconClass"] = "fa fa-fw fa-code-branch",
    ["params"] = { { ["name"] = "fingerprint" } },
  },
}
