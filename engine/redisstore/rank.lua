-- rank: a new entry is worth nothing, and one more with every fetch.
policies.rank = {
  enter = function() return 0 end,
  fetch = function(score) return score + 1 end,
}
