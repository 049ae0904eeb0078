-- rank: a new entry is worth nothing, and one more with every fetch. The clock
-- stands still; it is 0 but where another policy ordered the entries before.
local clock = order.clock
return {
  enter = function() return clock end,
  fetch = function(score, _, times)
    if score < clock then score = clock end -- a restored one
    return score - score % 1 + times
  end,
}
