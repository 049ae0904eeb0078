-- version_in returns the version in meta, number and tag in 10 bytes; zero if meta is
-- invalid.
function version_in(meta)
  if not member_of(meta, '') then return string.rep('\0', layout.InsertionSize + layout.TagSize) end
  local tag = string.sub(meta, layout.TagAt, layout.MetaSize)
  if string.byte(meta) < layout.ReplacedMark then return string.sub(meta, layout.InsertionAt, layout.InsertionEnd) .. tag end
  return string.sub(meta, layout.NumberAt, layout.ReplacedSize) .. tag
end

-- allowed checks the conditions of RFC 9110, section 13.1. meta is false for an absent
-- key.
function allowed(meta, match, none_match)
  local function among(versions)
    if versions == '*' then return true end
    local number, tag = struct.unpack('>I6I4', version_in(meta))
    return number > 0 and string.find(versions, string.format(' %x%08x ', number, tag), 1, true) ~= nil
  end
  if match ~= '' and not (meta and among(match)) then return false end
  return none_match == '' or not meta or not among(none_match)
end

-- has_attrs reports whether meta has the form and the content type of attrs.
function has_attrs(meta, attrs)
  if not member_of(meta, '') or string.byte(meta) % layout.ExpiresBit ~= string.byte(attrs) % layout.ExpiresBit then return false end
  local form = string.byte(meta)
  local rest = form < layout.ReplacedMark and layout.MetaSize or layout.ReplacedSize
  if form % layout.ReplacedBit >= layout.ExpiresBit then rest = rest + layout.ExpirySize end
  return string.sub(meta, rest + 1) == string.sub(attrs, layout.SizeEnd + 1)
end
