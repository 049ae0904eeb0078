-- Reads the record of a namespace with several partitions, and sets it if there is none.
-- The record is in the key that would be the state of a namespace with one partition. So
-- a node with one partition finds another layout there, and refuses it.
-- KEYS: state and values of a namespace with one partition
-- ARGV: layout with the number of partitions, name of the hash, seed to set; without
--   them, the record is only read
-- Returns layout, name of the hash, and seed, each '' if there is none.

local record = redis.call('HMGET', KEYS[1], 'layout', 'hash', 'seed')
if not record[1] and ARGV[1] and redis.call('EXISTS', KEYS[2]) == 0 then
  redis.call('HSET', KEYS[1], 'layout', ARGV[1], 'hash', ARGV[2], 'seed', ARGV[3])
  return ARGV
end
return { record[1] or '', record[2] or '', record[3] or '' }
