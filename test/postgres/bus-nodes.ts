import type pg from 'pg'

import type { Bus } from '../../src/cloud/bus.ts'
import { joinPostgresBus } from '../../src/cloud/bus/postgres.ts'
import { SWEEP_MS } from '../../src/cloud/bus/postgres/sweep.ts'
import { silentMetrics, type CounterName, type Metrics } from '../../src/cloud/metrics.ts'
import { migrate } from '../../src/cloud/postgres/migrate.ts'
import { MIGRATIONS } from '../../src/cloud/postgres/migrations.ts'
import { openDatabase, type Database } from '../../src/cloud/postgres/pool.ts'
import { systemClock, type Clock } from '../../src/kernel/clock.ts'
import { AsyncDisposableStack } from '../../src/kernel/disposable-stack.ts'
import { systemRandom } from '../../src/kernel/random.ts'
import { waitUntil } from '../../src/testing/failures.ts'
import { createManualClock } from '../../src/testing/manual-clock.ts'

const SHORT_MS = 1_000

/** Short waits are real; long ones (sweeps, pulses) end only when a test lets time pass. */
export function createPatientClock(): { readonly clock: Clock; passTime(ms?: number): void } {
  const long = createManualClock(systemClock.now())
  return {
    clock: {
      now: () => systemClock.now(),
      after: (ms, run) => (ms < SHORT_MS ? systemClock : long).after(ms, run),
    },
    passTime: (ms = SWEEP_MS) => long.elapse(ms),
  }
}

/** A node of the cloud as its bus sees it, with a pool of its own. */
export interface BusNode extends Bus {
  readonly logged: readonly string[]
  counted(name: CounterName, labels?: object): number
  /** Fulfilled when it hears what is said on the channel. */
  untilHears(): Promise<void>
}

interface JoinOptions {
  /** By which `cut` can mean it alone. */
  readonly name?: string
  readonly database?: (database: Database) => Database
}

/** Nodes on one database, whose long waits (sweeps, pulses) end only when a test says so. */
export interface BusNodes extends AsyncDisposable {
  /** A connection of the test's own. */
  readonly admin: Database
  join(options?: JoinOptions): Promise<BusNode>
  /** Raises heads as commits do, without telling anybody. */
  raise(heads: ReadonlyMap<string, number>): Promise<void>
  /** Says something on the channel of the nodes, as any program may. */
  notify(payload: string): Promise<void>
  /** Ends the connections of the buses, of those with this name where one is given; answers how many. */
  cut(name?: string): Promise<number>
  passTime(ms?: number): void
}

/** Of another run of the nodes on the same database a connection may still be ending. */
let runs = 0
/** More of them may come when one was heard already. */
const PROBE = 'probe-'
const CHANNEL = 'tidemark_commits_1'

export async function openBusNodes(url: string): Promise<BusNodes> {
  await using opening = new AsyncDisposableStack()
  const admin = opening.use(openDatabase({ url, limits: { connections: 2 } }))
  await migrate(admin, MIGRATIONS, systemClock)
  const { clock, passTime } = createPatientClock()
  const notify = async (payload: string): Promise<void> => {
    await admin.query('SELECT pg_notify($1, $2)', [CHANNEL, payload])
  }
  const nodes = opening.move()
  const run = ++runs
  let probes = 0
  return {
    admin,
    notify,
    async join({ name = 'node', database: wrap = (own: Database) => own } = {}) {
      const database = nodes.use(openDatabase({ url, limits: { connections: 2, connectMs: 1_000 } }))
      const logged: string[] = []
      const log = (message: string): void => void logged.push(message)
      const counts = new Map<string, number>()
      const metrics: Metrics = {
        ...silentMetrics,
        count(name, labels, by = 1) {
          const key = JSON.stringify([name, labels])
          counts.set(key, (counts.get(key) ?? 0) + by)
        },
      }
      const bus = nodes.use(
        joinPostgresBus({
          database: wrap(withName(database, `${name} ${run}`)),
          clock,
          random: systemRandom,
          logger: { debug: log, info: log, warn: log, error: log },
          metrics,
        }),
      )
      return {
        logged,
        counted: (name, labels = {}) => counts.get(JSON.stringify([name, labels])) ?? 0,
        publish: (...hint) => bus.publish(...hint),
        subscribe: ({ hear, watched }) =>
          bus.subscribe({
            hear(space, head, writer) {
              if (!space.startsWith(PROBE)) hear(space, head, writer)
            },
            watched: () => watched(),
          }),
        async untilHears() {
          const probe = `${PROBE}${++probes}`
          let heard = false
          const stop = bus.subscribe({ hear: (space) => (heard ||= space === probe), watched: () => [] })
          for (let tries = 0; tries < 400 && !heard; tries++) {
            await notify(JSON.stringify(['probe', [[probe, 1, null]]]))
            await new Promise((resolve) => systemClock.after(5, () => resolve(null)))
          }
          await waitUntil(() => heard)
          stop()
        },
        [Symbol.asyncDispose]: () => bus[Symbol.asyncDispose](),
      }
    },
    async raise(heads) {
      await admin.query(
        `INSERT INTO tidemark.spaces (id, epoch, generation, head, boot, wrote)
         SELECT id, 'epoch', 'generation', head, '', pg_current_xact_id()
         FROM unnest($1::text[], $2::bigint[]) AS raised (id, head)
         ON CONFLICT (id) DO UPDATE SET head = excluded.head`,
        [[...heads.keys()], [...heads.values()]],
      )
    },
    async cut(name = '%') {
      const ended = await admin.query(
        `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
         WHERE application_name LIKE $1 AND datname = current_database()`,
        [`tidemark bus ${name} ${run}`],
      )
      return ended.length
    },
    passTime,
    [Symbol.asyncDispose]: () => nodes.disposeAsync(),
  }
}

function withConnect(database: Database, connect: Database['connect']): Database {
  return {
    query: (statement, values) => database.query(statement, values),
    transaction: (work) => database.transaction(work),
    usage: () => database.usage(),
    connect,
    [Symbol.asyncDispose]: () => database[Symbol.asyncDispose](),
  }
}

const withName = (database: Database, name: string): Database =>
  withConnect(database, (purpose) => database.connect(`${purpose} ${name}`))

/** What a node sees of the database, until it dies: from then on nothing goes out, and nothing comes in. */
export function mortal(): { readonly database: (database: Database) => Database; die(): void } {
  const clients: pg.Client[] = []
  let isDead = false
  return {
    database: (database) =>
      withConnect(database, async (name) => {
        if (isDead) return new Promise(() => {})
        const client = await database.connect(name)
        clients.push(client)
        return client
      }),
    die() {
      isDead = true
      for (const client of clients) client.connection.stream.destroy()
    },
  }
}

/** The same database, on which LISTEN is lost: as behind a pooler that gives each statement another connection. */
export function withoutListen(database: Database): Database {
  return withConnect(database, async (name) => {
    const client = await database.connect(name)
    const query = client.query.bind(client) as (...parameters: unknown[]) => unknown
    Object.assign(client, {
      query: (...parameters: unknown[]) =>
        String(parameters[0]).startsWith('LISTEN') ? query('SELECT 1') : query(...parameters),
    })
    return client
  })
}
