package redisstore

import (
	_ "embed"

	"github.com/redis/go-redis/v9"
)

var (
	//go:embed entry.lua
	entryLua string
	//go:embed convert.lua
	convertLua string
	//go:embed rank.lua
	rankLua string
	//go:embed lru.lua
	lruLua string
	//go:embed adaptive.lua
	adaptiveLua string
	//go:embed repair.lua
	repairLua string
	//go:embed apply.lua
	applyLua string
	//go:embed fetch.lua
	fetchLua string
)

var (
	policiesLua = convertLua + rankLua + lruLua + adaptiveLua
	applyScript = redis.NewScript(entryLua + policiesLua + repairLua + applyLua)
	fetchScript = redis.NewScript(entryLua + policiesLua + fetchLua)
)
