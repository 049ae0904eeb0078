-- Names and forms that all scripts share. scripts.go puts the scripts together:
-- store.Edge stands for that constant of the package store, layout.KeyAt for that of
-- layout.go. All begin with DEFAULT_POLICY and policy_named.
--
-- A closure costs Redis about as much as a command, and more with each local that it
-- captures. So what is rarely needed is made within the function that needs it, and
-- what every call needs is straight code.

local VALUES, META, RANKS, STATE, GHOSTS, SHADOW, WRITER = unpack(KEYS)
local LAYOUT = '3'

-- check returns the policy that the state names, or a refusal. Where the state names
-- none, or what no version can have written, that is the default, and lost is true.
local function check(layout, eviction)
  if layout and layout ~= LAYOUT then
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

-- A limit in the state, or nil for what somebody else wrote there: tonumber takes nan
-- and inf too, and with them a script would fail half-way.
local function limit_of(text)
  local n = text and string.match(text, '^%d+$') and tonumber(text)
  return n and n <= 9007199254740992 and n or nil
end

-- A score as Redis takes it. Redis itself writes numbers slowly.
local function text_of(n)
  return string.format(n % 1 == 0 and '%d' or '%.17g', n)
end

-- The member of an entry in RANKS, by its meta; nil if meta is not of the form in
-- layout.go. Others may have written it.
local function member_of(meta, key)
  if not meta or #meta < layout.MetaSize then return end
  local form = string.byte(meta)
  if form < layout.Mark or form >= layout.Replaced and #meta < layout.ReplacedSize then return end
  return string.sub(meta, layout.InsertionAt, layout.InsertionEnd) .. key
end

-- The size of a value by its meta; nil if it does not say.
local function size_in(meta)
  if not meta or #meta < layout.MetaSize then return end
  local form, high, middle, low = string.byte(meta, 1, layout.SizeEnd)
  local size = high * 65536 + middle * 256 + low
  return form >= layout.Mark and size < layout.MostSize and size or nil
end
