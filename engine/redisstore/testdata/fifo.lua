-- fifo evicts the oldest entry first. See fifo.go in storetest.
return {
  enter = function()
    order.clock = order.clock + 1
    return order.clock - 0.5
  end,
  fetch = function(score) return math.ceil(score) end,
  finish = function() end,
}
