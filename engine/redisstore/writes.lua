-- The writes of a batch. Each returns its answer, which reply.go reads.

-- The version in meta: number and tag; zero where the meta is not good.
local function version_in(meta)
  if not is_meta(meta) then return string.rep('\0', layout.InsertionSize + layout.TagSize) end
  local tag = string.sub(meta, layout.TagAt, layout.TagEnd)
  if string.byte(meta) < layout.Replaced then return string.sub(meta, layout.InsertionAt, layout.InsertionEnd) .. tag end
  return string.sub(meta, layout.NumberAt, layout.NumberEnd) .. tag
end

-- RFC 9110, section 13.1; meta is false for an absent key.
local function allowed(meta, match, none_match)
  local function among(versions)
    if versions == '*' then return true end
    local number, tag = struct.unpack('>I6I4', version_in(meta))
    return number > 0 and string.find(versions, string.format(' %x%08x ', number, tag), 1, true) ~= nil
  end
  if match ~= '' and not (meta and among(match)) then return false end
  return none_match == '' or not meta or not among(none_match)
end

-- attrs is the form and the size, with which meta begins, and the content type at its end.
local function meta_with(attrs, insertion, number)
  local first, rest = attrs, ''
  if #attrs > layout.SizeEnd then
    first, rest = string.sub(attrs, 1, layout.SizeEnd), string.sub(attrs, layout.SizeEnd + 1)
  end
  if not number then return first .. insertion .. TAG .. rest end
  first = string.char(string.byte(first) - layout.Mark + layout.Replaced) .. string.sub(first, 2)
  return first .. insertion .. TAG .. number .. rest
end

local function insert(key, value, attrs, score)
  local err = begin_growing()
  if err then return 'r' .. err .. '\0' end
  b.number = b.number + 1
  local size = #key + #value
  local slow = make_room(1, size)
  if slow then return slow end
  local insertion = struct.pack('>I6', b.number)
  enter(key, insertion .. key, score and above(b.order, b.order.clock + score))
  values[key], metas[key] = value, meta_with(attrs, insertion)
  b.keys, b.bytes = b.keys + 1, b.bytes + size
  if #value > b.largest then b.largest = #value end
  changed(',["created",', key)
  return 'c'
end

local function replace(key, value, attrs, meta)
  local err = begin_growing()
  if err then return 'r' .. err .. '\0' end
  b.number = b.number + 1
  local growth = #key + #value - size_of(key)
  local m = is_meta(meta) and member_of(meta, key)
  if growth > 0 and b.max_bytes > 0 and b.bytes + growth > b.max_bytes then
    -- Out of the order meanwhile, so that it is not evicted to make its own room.
    b.turn.settle()
    local score = m and redis.call('ZSCORE', RANKS, m)
    if score then redis.call('ZREM', RANKS, m) end
    b.spared = key
    local slow = make_room(0, growth)
    b.spared = nil
    if score then enter(key, m, tonumber(score)) end
    if slow then return slow end
  end
  local number = struct.pack('>I6', b.number)
  local insertion = m and string.sub(m, 1, layout.InsertionSize) or number
  if not m then enter(key, insertion .. key) end
  b.bytes, b.largest = math.max(b.bytes + growth, 0), math.max(b.largest, #value)
  values[key], metas[key] = value, meta_with(attrs, insertion, m and number)
  changed(',["replaced",', key)
  return 'p'
end

local function remove(key, meta)
  b.turn.settle()
  local err = begin_shrinking()
  if err then return 'r' .. err .. '\0' end
  redis.call('ZREM', RANKS, is_meta(meta) and member_of(meta, key) or key)
  b.number = b.number + 1
  forget(key)
  if b.turn.forget then b.turn.forget(key) end
  changed(',["deleted",', key)
  return 'd'
end

local function conflict(key, value, attrs, meta)
  local same = is_meta(meta) and string.byte(meta) % layout.Forms == string.byte(attrs) % layout.Forms
  if same then
    local rest = string.byte(meta) < layout.Replaced and layout.MetaSize or layout.ReplacedSize
    same = string.sub(meta, rest + 1) == string.sub(attrs, layout.SizeEnd + 1)
      and (values[key] or redis.call('HGET', VALUES, key)) == value
  end
  return (same and 'K' or 'k') .. version_in(meta)
end

local function run(op, key, value, attrs, match, none_match)
  local meta = meta_of(key)
  if not meta and b.torn and values[key] == nil and redis.call('HEXISTS', VALUES, key) == 1 then
    meta = '' -- a value that nobody gave meta yet
  end
  if meta and op ~= 'p' and op ~= 'd' then return conflict(key, value, attrs, meta) end
  if op == 'd' and not meta then return 'a' end
  if op ~= 'd' and b.max_bytes > 0 and #key + #value > b.max_bytes then return 'l' end
  if (match ~= '' or none_match ~= '') and not allowed(meta, match, none_match) then
    return 'f' .. version_in(meta)
  end
  if op == 'd' then return remove(key, meta) end
  if meta then return replace(key, value, attrs, meta) end
  return insert(key, value, attrs, op ~= 'c' and tonumber(string.sub(op, 2)) or nil)
end
