-- Writes the values and meta of room.lua.
for i = 1, #gone, 1000 do
  redis.call('HDEL', VALUES, unpack(gone, i, math.min(i + 999, #gone)))
  redis.call('HDEL', META, unpack(gone, i, math.min(i + 999, #gone)))
end
if written > 0 then
  redis.call('HSET', VALUES, unpack(new_values, 1, written))
  redis.call('HSET', META, unpack(new_metas, 1, written))
end
places, new_values, new_metas, written, gone = {}, {}, {}, 0, {}
