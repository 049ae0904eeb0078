-- lru: what was created or fetched last stays. The clock counts both.
policies.lru = function(order)
  local fetched = {}
  return {
    enter = function()
      order.clock = order.clock + 1
      return order.clock - 0.5
    end,
    fetch = function(_, m)
      if not fetched[m] then
        order.clock = order.clock + 1
        fetched[m] = order.clock
      end
      return fetched[m]
    end,
    finish = function() end,
  }
end
