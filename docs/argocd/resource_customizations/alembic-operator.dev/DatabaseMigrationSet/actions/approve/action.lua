-- The parameter names the plan that was read, so that another one that has taken its place meanwhile is not approved. What the
-- annotation approves already stays, also of plans that are gone: a hash means one plan of one rollout. Nothing else is approved, also
-- where a plan needs no approval now: its hazards may grow. Argo CD's Lua has no functions for texts, so that it is left as it is.
local plan = actionParams["plan"]
local rollout = obj.status ~= nil and obj.status.rollout or {}
local waiting = ""
local known = false
for _, one in ipairs(rollout.plans or {}) do
  known = known or one.hash == plan
  if not one.approved then
    waiting = waiting .. " " .. one.hash
  end
end
if not known then
  error("the parameter plan has to be the hash of a plan that you have read; these wait now:" .. waiting, 0)
end
obj.metadata.annotations = obj.metadata.annotations or {}
local approved = obj.metadata.annotations["alembic-operator.dev/approve"] or ""
obj.metadata.annotations["alembic-operator.dev/approve"] = approved .. (approved == "" and "" or ",") .. plan
return obj
