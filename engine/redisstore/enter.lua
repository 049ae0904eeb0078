-- Puts the entry with this key and the member entering into the order. restored is the
-- score of an entry that was in the order before; else nil, and the policy gives one.
local score = restored or turn.enter(key, entering)
if score then
  local last = #fresh_scores
  if restored or is_counts and score < order.clock or first_fresh <= last and score < fresh_scores[last] then
    -- include settle.lua
    redis.call('ZADD', RANKS, format(score % 1 == 0 and '%d' or '%.17g', score), entering)
  else
    if score ~= entered then entered, entered_text = score, format(score % 1 == 0 and '%d' or '%.17g', score) end
    fresh_scores[last + 1], fresh[2 * last + 1], fresh[2 * last + 2] = score, entered_text, entering
  end
end
