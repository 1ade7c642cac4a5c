-- Sixteen GETs in one write; wrk counts sixteen answers.
local depth = 16
local batch

init = function(args)
  local one = wrk.format("GET", wrk.path)
  local all = {}
  for i = 1, depth do
    all[i] = one
  end
  batch = table.concat(all)
end

request = function()
  return batch
end
