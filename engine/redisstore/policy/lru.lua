-- lru evicts the entry that was used longest ago. The clock counts creates and fetches.
return {
  enter = function()
    order.clock = order.clock + 1
    return order.clock - 0.5
  end,
  fetch = function()
    order.clock = order.clock + 1
    return order.clock
  end,
  finish = function() end,
}
