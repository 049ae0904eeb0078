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

-- limit_of returns a limit in the state, or nil if another program spoiled it. tonumber
-- alone would take nan and inf, and the script would fail half-way.
local function limit_of(text)
  local n = text and string.match(text, '^%d+$') and tonumber(text)
  return n and n <= 9007199254740992 and n or nil
end
