-- Names and forms that all scripts share. scripts.go puts the scripts together. Each
-- script begins with DEFAULT_POLICY and policy_named. "store." and a name stands for a
-- constant in engine/store/constants.go, and "layout." and a name for one in layout.go.
--
-- A closure costs Redis a tenth of a command, and as much again for every two locals
-- that it captures, in each call of the script. So code that every call needs is not in
-- a function. A line "-- include" and the name of a file stands for the text of this
-- file. A file of functions that are rarely needed is included in the branch that needs
-- them.

local VALUES, META, RANKS, STATE, GHOSTS, SHADOW, WRITER, EXPIRIES = unpack(KEYS)
local LAYOUT = 'layout.Version'

-- check returns the policy that the state names, or nil and a refusal. If the state
-- names none, or has a text that no version can have written, check returns the default
-- policy, nil and true.
local function check(layout, eviction)
  if layout and layout ~= LAYOUT then
    local partitions = string.match(layout, '^' .. LAYOUT .. '/(%d+)$')
    if partitions then
      return nil, 'PARTITIONS the namespace has ' .. partitions .. ' partitions, and this node has 1'
    end
    return nil, 'LAYOUT this version knows layout ' .. LAYOUT .. ', the namespace has layout ' .. layout ..
      ': export it with the version that wrote it, and import the file into another namespace with this one'
  end
  local policy = policy_named(eviction)
  if policy then return policy end
  if eviction and string.match(eviction, '^%l[%w_-]*$') then
    return nil, 'POLICY this version does not know the eviction policy ' .. eviction
  end
  return policy_named(DEFAULT_POLICY), nil, true
end
