-- Names and forms that all scripts share. scripts.go puts the scripts together:
-- store.Edge stands for that constant of the package store, and all begin with
-- DEFAULT_POLICY and the table policies.

local VALUES, META, RANKS, STATE, WRITER, GHOSTS, SHADOW = unpack(KEYS)
local LAYOUT = '2'
local WRITER_TTL = 600000 -- ms; no try of a batch lives that long

-- policies has for each policy its scale and whether it has a window, as in
-- policy.go, and begin, from the file of its name: it opens the policy on an order,
-- for a batch or, if the order says fetching, a fetch. It returns
--   enter(key, member): the score of an entry that is about to be created; nil if
--     the policy puts it into RANKS itself
--   fetch(score, member, times): the new score of an entry that was fetched, or
--     used so often by others; the score it has is of the policy's own making
-- and, if it needs them,
--   leaves(): takes an entry out of RANKS; returns its key and score. Without it,
--     the lowest leaves. order.coming is about how many will have to.
--   settle(): others are about to read or to change RANKS.
--   forget(key): a key was deleted.
--   finish(): brings RANKS, and clock and window of the order, up to date;
--     order.keys are those of the end by then.
-- Numbers of the state, or nil for what somebody else wrote there: tonumber takes
-- nan and inf too, and with them a script would fail half-way.
local function whole_of(text)
  local n = text and string.match(text, '^%d+$') and tonumber(text)
  return n and n <= 9007199254740992 and n or nil
end
local function finite_of(text)
  local n = text and tonumber(text)
  return n and n == n and n < math.huge and n > -math.huge and n or nil
end

local function hex(n) return string.format('%x', n) end

-- A member of RANKS: the insertion number in 16 hex digits, so that among
-- equal scores the oldest comes first, and the key.
local function member(insertion, key)
  return string.rep('0', 16 - #insertion) .. insertion .. key
end

-- Meta is "<insertion> <number> <tag> <kind> <content type>". Returns nothing
-- if it is not: others may have written it.
local function parse(meta)
  local insertion, number, tag, attrs = string.match(meta, '^(%x+) (%x+) (%x%x%x%x%x%x%x%x) (%a .*)$')
  if insertion and #insertion <= 16 then
    return insertion, number, tag, attrs
  end
end

-- What the writer's record says of this batch: run it, or it ran already, or
-- it must not run any more. ARGV[1] is the batch's number. ARGV[2] is what the
-- writer knows: 1 if an earlier batch was recorded, plus 2 if this batch was
-- sent before.
local function tried_before() return tonumber(ARGV[2]) >= 2 end
local function recall()
  local record = redis.call('HMGET', WRITER, 'number', 'answers')
  if not record[1] then
    if tonumber(ARGV[2]) % 2 == 1 then
      return nil, 'REFUSED the record of this writer is gone'
    end
    return false
  end
  local last, number = tonumber(record[1]), tonumber(ARGV[1])
  if number < last then
    return nil, 'REFUSED a later batch of this writer ran already'
  end
  return number == last, nil, record[2]
end

local function check_layout(layout)
  if layout and layout ~= LAYOUT then
    return 'LAYOUT this version knows layout ' .. LAYOUT .. ', the namespace has layout ' .. layout ..
      ': export it with the version that wrote it, and import the file into another namespace with this one'
  end
end

-- What names an event: the write number after its batch in hexadecimal, and the
-- batch's tag. The state keeps the last one; '' if there was none.
local function event_of(text)
  return text and string.match(text, '^%x+$') or ''
end

-- The name of a policy, or nil for what no version can have written.
local function policy_name_of(text)
  return text and string.match(text, '^%l[%w_-]*$')
end

local function policy_named(name)
  local policy = policies[name]
  if policy then return policy end
  return nil, 'POLICY this version does not know the eviction policy ' .. name
end

-- Calls a command on a list that unpack could not take at once.
local function in_chunks(list, stride, call)
  local size = 1000 - 1000 % stride
  for i = 1, #list, size do
    call(unpack(list, i, math.min(i + size - 1, #list)))
  end
end
