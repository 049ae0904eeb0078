// Calls the functions of docs/clients.md: driver.mjs FUNCTION ARGUMENT...
import { createInterface } from 'node:readline'
import { create, getOrCompute } from './aside.mjs'
import { getBytes, putBytes } from './binary.mjs'
import { bulk, getMany } from './many.mjs'
import { update } from './update.mjs'
import { watch } from './watch.mjs'

const say = (...words) => process.stdout.write(words.join(' ') + '\n')
const input = createInterface({ input: process.stdin })[Symbol.asyncIterator]()
const hex = (bytes) => Buffer.from(bytes).toString('hex')

const functions = {
  async get_or_compute(key, value) {
    const compute = () => {
      say('computing')
      return JSON.parse(value)
    }
    say(JSON.stringify(await getOrCompute(key, compute)))
  },
  async create(key, value, ttl) {
    say(await create(key, JSON.parse(value), { ttl: ttl && Number(ttl) }))
  },
  async update(key, ttl) {
    say(await update(key, async (value) => {
      say('changing', JSON.stringify(value))
      await input.next()
      return value + 1
    }, { ttl: ttl && Number(ttl) }))
  },
  async get_many(...keys) {
    const found = await getMany(keys)
    for (const key of [...found.keys()].sort()) {
      const value = found.get(key)
      say(key, value instanceof Uint8Array ? hex(value) : JSON.stringify(value))
    }
  },
  async bulk() {
    const operations = []
    for (let line; !(line = await input.next()).done;) operations.push(JSON.parse(line.value))
    const print = (answers) => answers.forEach((answer) => say(answer?.status ?? 'none'))
    try {
      print(await bulk(operations))
    } catch (error) {
      print(error.answers)
      throw error
    }
  },
  async bytes(key, data, type) {
    await putBytes(key, Buffer.from(data, 'hex'), type)
    const got = await getBytes(key)
    say(hex(got.data), got.type, (await getBytes('none')) ?? 'None')
  },
  async watch(prefix) {
    const stop = new AbortController()
    input.next().then(({ done }) => done || stop.abort()) // a line
    for await (const { event, key } of watch(prefix, { signal: stop.signal })) say(event, key ?? '')
    say('stopped')
  },
}

const [name, ...args] = process.argv.slice(2)
try {
  await functions[name](...args)
} catch (error) {
  say('failed:', error.message)
}
process.exit()
