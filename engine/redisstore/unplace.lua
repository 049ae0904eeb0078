-- Removes the key at a place of new_values and new_metas. The last key moves there.
local last = written - 1
if place < last then
  local key = new_values[last]
  places[key], new_values[place], new_metas[place] = place, key, key
  new_values[place + 1], new_metas[place + 1] = new_values[written], new_metas[written]
end
new_values[last], new_values[written], new_metas[last], new_metas[written] = nil, nil, nil, nil
written = written - 2
