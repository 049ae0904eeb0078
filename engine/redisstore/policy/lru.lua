-- lru: what was created or fetched last stays. The clock counts both.
policies.lru.begin = function(order)
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
end
