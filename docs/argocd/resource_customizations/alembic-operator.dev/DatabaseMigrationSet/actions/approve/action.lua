-- The parameter names the plan that was read, so that another one that has taken its place meanwhile is not approved. The set's
-- other plans that may run stay approved.
local plan = actionParams["plan"]
local rollout = obj.status ~= nil and obj.status.rollout or {}
local approved = ""
local waiting = ""
local known = false
for _, one in ipairs(rollout.plans or {}) do
  known = known or one.hash == plan
  if not one.approved then
    waiting = waiting .. " " .. one.hash
  end
  if one.approved or one.hash == plan then
    approved = approved .. (approved == "" and "" or ",") .. one.hash
  end
end
if not known then
  error("the parameter plan has to be the hash of a plan that you have read; these wait now:" .. waiting, 0)
end
obj.metadata.annotations = obj.metadata.annotations or {}
obj.metadata.annotations["alembic-operator.dev/approve"] = approved
return obj
