-- Lets the wave after this one begin. The parameter names the rollout and the wave that were looked at. Waves that have passed need
-- no promotion any more.
local wave = actionParams["wave"]
local rollout = obj.status ~= nil and obj.status.rollout or {}
local waits = nil
for _, one in ipairs(rollout.waves or {}) do
  if one.state == "AwaitingPromotion" then
    waits = rollout.number .. "/" .. one.name
  end
end
if waits == nil then
  error("no wave waits for a promotion", 0)
end
if wave ~= waits then
  error("the parameter wave has to be that of the rollout that you have seen; it is " .. waits .. " now", 0)
end
obj.metadata.annotations = obj.metadata.annotations or {}
obj.metadata.annotations["alembic-operator.dev/promote"] = waits
return obj
