-- rank is LFU without ageing. A new entry counts 0, and each fetch adds 1. The clock
-- stands still. It is 0 unless another policy ordered the entries before.
local clock = order.clock
return {
  enter = function() return clock end,
  fetch = function(score, _, times)
    if score < clock then score = clock end -- a restored entry
    return score - score % 1 + times
  end,
}
