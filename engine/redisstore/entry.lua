-- Names and forms that all scripts share. scripts.go puts the scripts together. Each
-- script begins with DEFAULT_POLICY and policy_named. "store." and a name stands for a
-- constant in engine/store/constants.go, and "layout." and a name for one in layout.go.
--
-- A closure costs Redis about as much as a command, and more with each local that it
-- captures. So a function that is rarely needed is made within the one that needs it.
-- Code that every call needs is not in a function.

local VALUES, META, RANKS, STATE, GHOSTS, SHADOW, WRITER = unpack(KEYS)
local LAYOUT = '3'

-- check returns the policy that the state names, or nil and a refusal. If the state
-- names none, or has a text that no version can have written, check returns the default
-- policy, nil and true.
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

-- limit_of returns a limit in the state, or nil if another program spoiled it. tonumber
-- alone would take nan and inf, and the script would fail half-way.
local function limit_of(text)
  local n = text and string.match(text, '^%d+$') and tonumber(text)
  return n and n <= 9007199254740992 and n or nil
end

-- text_of returns a score as text, since Redis itself writes numbers slowly.
local function text_of(n)
  return string.format(n % 1 == 0 and '%d' or '%.17g', n)
end

-- member_of returns the member of an entry in RANKS, by its meta. It returns nil if
-- meta is not of the form in layout.go: another program may have written it.
local function member_of(meta, key)
  if not meta or #meta < layout.MetaSize then return end
  local form = string.byte(meta)
  if form < layout.Mark or form >= layout.ReplacedMark and #meta < layout.ReplacedSize then return end
  return string.sub(meta, layout.InsertionAt, layout.InsertionEnd) .. key
end

-- size_in returns the size of a value by its meta; nil if meta does not tell it.
local function size_in(meta)
  if not meta or #meta < layout.MetaSize then return end
  local form, high, middle, low = string.byte(meta, 1, layout.SizeEnd)
  local size = high * 65536 + middle * 256 + low
  return form >= layout.Mark and size < layout.MostSize and size or nil
end
