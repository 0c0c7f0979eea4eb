import { createHandler } from '../../../src/cloud/handler/handler.ts'
import { MemoryLog } from '../../../src/cloud/log/memory.ts'
import { seededRandom } from '../../../src/kernel/random.ts'
import { Chance } from '../../../src/stores/sqlite/capture/fuzz/chance.ts'
import type { Driver } from '../../../src/stores/sqlite/driver/driver.ts'
import { createDirectory, tokenOf } from '../../../sim/directory.ts'
import { handlerProvider } from '../../devices/handler-provider.ts'
import { findFault, readCloud, type Cloud } from './check.ts'
import { openDevice, STILL, type Device } from './device.ts'
import { makeEdits } from './edits.ts'
import { Ledger } from './ledger.ts'
import { loosen, makePairSchema, quote } from './schema.ts'

/** Rounds after which all must be quiet, however the edits met (I8). */
const MAX_ROUNDS = 20

/** What a run met, so that a fuzzer which tests nothing is noticed. */
export interface PairTally {
  edits: number
  parked: number
  quarantined: number
  notes: { [kind: string]: number }
  rows: number
}

export interface PairFault {
  readonly what: string
  readonly story: string
}

/** Two files with one random schema live through random edits and a bad network; null: they end well. */
export async function livePair(seed: number, driver: Driver, tally: PairTally): Promise<PairFault | null> {
  const chance = new Chance(seededRandom(seed))
  const schema = makePairSchema(chance)
  const ledger = new Ledger(schema)
  const story: string[] = []
  const log = new MemoryLog({ clock: STILL, random: seededRandom(seed) })
  const handler = createHandler({
    log,
    directory: createDirectory(),
    clock: STILL,
    random: seededRandom(seed),
  })
  let calm = chance.is(50)
  const open = (name: string, own: readonly string[], more: readonly string[]): Promise<Device> => {
    const statements = [...own, ...more]
    story.push(`-- ${name}`, ...statements.map((sql) => `${sql};`))
    return openDevice({ name, handler, driver, statements, fails: () => !calm && chance.is(8) })
  }
  const late = schema.newer.map(
    ({ table, column }) => `ALTER TABLE ${quote(table)} ADD COLUMN ${column} TEXT DEFAULT 'd'`,
  )
  try {
    await using a = await open('a', schema.statements, chance.is(50) ? [...schema.extras, ...late] : late)
    const looser = chance.is(30) ? loosen(chance, schema.statements) : schema.statements
    await using b = await open('b', looser, chance.is(30) ? schema.extras : [])
    const devices = [a, b]
    const edit = (device: Device): void => {
      const statements = makeEdits(chance, schema, ledger.next)
      story.push(`-- ${device.name}`, ...statements.map((sql) => `${sql};`))
      ledger.edit(device, statements)
      tally.edits++
    }
    for (let count = chance.int(0, 6); count > 0; count--) edit(chance.is(70) ? a : b)
    const migrations = new Map(devices.map((device) => [device, device === a ? [] : [...late]]))
    for (let steps = chance.int(4, 16); steps > 0; steps--) {
      const device = chance.pick(devices)
      if (chance.is(6)) {
        // The older application catches up, or somebody tidies the file.
        const sql = migrations.get(device)?.pop() ?? chance.pick(['VACUUM', 'ANALYZE', 'REINDEX'])
        story.push(`-- ${device.name}`, `${sql};`)
        device.app.exec(sql)
        continue
      }
      if (chance.is(60)) {
        edit(device)
        continue
      }
      story.push(`-- ${device.name} syncs`)
      const synced = device.sync()
      // An application does not wait for the engine.
      if (chance.is(40)) {
        for (let turns = chance.int(1, 20); turns > 0; turns--) await Promise.resolve()
        edit(chance.pick(devices))
      }
      await synced
    }
    calm = true
    const viewer = handlerProvider(handler, tokenOf('viewer'), () => false)
    const cloud = await settle(devices, () => readCloud(viewer))
    if (cloud === null) return { what: `not quiet after ${MAX_ROUNDS} rounds`, story: story.join('\n') }
    for (const { store } of devices) {
      tally.parked += (await store.listParked(1_000)).length
      tally.quarantined += (await store.listQuarantine(1_000)).length
      for (const { kind } of await store.listInbox({})) tally.notes[kind] = (tally.notes[kind] ?? 0) + 1
    }
    tally.rows += cloud.size
    const what = await findFault(devices, cloud, schema, ledger)
    return what === null ? null : { what, story: story.join('\n') }
  } catch (error) {
    return { what: String(error instanceof Error ? error.stack : error), story: story.join('\n') }
  } finally {
    handler.stop()
    await log[Symbol.asyncDispose]()
  }
}

/** Both sync until a whole round changes nothing; what the cloud has then, or null when that does not come. */
async function settle(devices: readonly Device[], read: () => Promise<Cloud>): Promise<Cloud | null> {
  let before = ''
  for (let round = 0; round < MAX_ROUNDS; round++) {
    for (const device of devices) await device.sync()
    const cloud = await read()
    const now = JSON.stringify([...cloud])
    if (now === before) return cloud
    before = now
  }
  return null
}
