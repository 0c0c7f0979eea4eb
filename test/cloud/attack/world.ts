import type { Log } from '../../../src/cloud/log/log.ts'
import { startServer, type Server } from '../../../src/cloud/server/server.ts'
import type { Storage } from '../../../src/cloud/server/storage.ts'
import type { PushAnswer } from '../../../src/protocol/push.ts'
import { SCOPES, type Scope } from '../../../src/protocol/routes.ts'
import { systemClock, type Clock } from '../../../src/kernel/clock.ts'
import { createManualClock } from '../../../src/testing/manual-clock.ts'
import { pushBody, put } from '../requests.ts'
import { createSelfSigned } from '../self-signed.ts'
import { openTestCloud, valueOf, type TestCloud } from '../test-cloud.ts'
import { HttpFront } from './front.ts'
import type { Places, TokenKind } from './http-case.ts'
import { OURS, THEIRS } from './leak.ts'

/** More than a pull may wait, and than a body may be silent. */
const PATIENCE_MS = 60_000

/** A cloud with rows, devices and two accounts in it, behind HTTP/1.1 and HTTP/2. */
export interface AttackWorld extends AsyncDisposable {
  readonly cloud: TestCloud
  readonly fronts: { readonly http1: HttpFront; readonly http2: HttpFront }
  /** The headers that show a token. */
  credentials(kind: TokenKind): readonly (readonly [name: string, value: string])[]
  /** Each call names a replica that has not pushed. */
  places(): Places
  /** Devices that requests may have taken away. */
  restore(): Promise<void>
}

const tls = createSelfSigned()

/** `onLog` is told of each call that a request makes to the log. */
export async function openWorld(
  storage: Storage,
  onLog: (method: string) => void = () => {},
): Promise<AttackWorld> {
  // Two, or a request would be late whose pull waits.
  const pulls = createManualClock(systemClock.now())
  const bodies = createManualClock(systemClock.now())
  const cloud = await openTestCloud({
    storage,
    bus: storage.bus,
    clock: pulls,
    log: (log) => watchLog(log, onLog),
  })
  const servers: Server[] = []
  for (const options of [{}, { tls }]) servers.push(await serve({ cloud, storage, clock: bodies, options }))
  const [plain, secure] = servers as [Server, Server]
  const history = await fill(cloud)
  const tokens = await makeTokens(cloud)
  let replicas = 0
  const patience = {
    pull: () => pulls.elapse(PATIENCE_MS),
    body: () => bodies.elapse(PATIENCE_MS),
  }
  const fronts = {
    http1: new HttpFront(plain.url, null, patience),
    http2: new HttpFront(secure.url, tls.cert, patience),
  }
  return {
    // What looks at the log past the routes is not told of.
    cloud: { ...cloud, log: storage.log },
    fronts,
    credentials: (kind) => (kind === 'none' ? [] : [['authorization', `Bearer ${tokens[kind]}`]]),
    places: () => ({
      epoch: history.epoch,
      generation: history.generation.id,
      replica: `replica-${++replicas}`,
    }),
    async restore() {
      for (const id of ['phone', 'laptop'])
        await cloud.directory.registerDevice('ours', { id, name: `${OURS} ${id}`, platform: 'ios' })
    },
    async [Symbol.asyncDispose]() {
      for (const front of Object.values(fronts)) front.close()
      const closed = Promise.all(servers.map((server) => server.close()))
      // A server lingers for who is just arriving.
      bodies.elapse(PATIENCE_MS)
      await closed
      cloud.handler.stop()
      await storage[Symbol.asyncDispose]()
    },
  }
}

const watchLog = (log: Log, onLog: (method: string) => void): Log =>
  new Proxy(log, {
    get(target, name) {
      const value: unknown = Reflect.get(target, name)
      if (typeof value !== 'function') return value
      return (...args: readonly unknown[]): unknown => {
        if (typeof name === 'string') onLog(name)
        return Reflect.apply(value, target, args)
      }
    },
  })

const serve = ({
  cloud,
  storage,
  clock,
  options,
}: {
  readonly cloud: TestCloud
  readonly storage: Storage
  readonly clock: Clock
  readonly options: { readonly tls?: typeof tls }
}): Promise<Server> =>
  startServer({
    handler: cloud.handler,
    clock,
    logger: cloud.logger,
    host: '127.0.0.1',
    port: 0,
    version: '0.0.0',
    checkStorage: () => storage.check(),
    // Rates go by the machine's own time; they are tested elsewhere.
    limits: { loopDelayMs: 0, tokenPerMinute: 0, addressPerMinute: 0 },
    ...options,
  })

/** Rows that live and rows that are deleted, claims, a schema, devices; another account's beside them. */
async function fill(cloud: TestCloud): Promise<PushAnswer> {
  const theirs = await cloud.makeToken({ account: 'theirs' })
  const claims = { 'name(name)': '"a"' }
  const rows = (secret: string) => [
    put(1, { secret }, { claims }),
    put(2, { secret }),
    put(3, { secret }),
    put(1, { secret }, { table: 'other' }),
  ]
  const push = async (token: string, mutation: number, body: ReturnType<typeof pushBody>) =>
    valueOf<PushAnswer>(
      await cloud.handler.handle({ route: 'push', token, body: JSON.stringify({ ...body, mutation }) }),
    )
  await push(theirs.token, 1, pushBody(1, rows(THEIRS)))
  const { epoch, generation, head } = await push(cloud.token, 1, pushBody(1, rows(OURS)))
  const cursor = { epoch, generation: generation.id, version: head, high: head }
  const { fields: _, ...gone } = put(3, {}, { op: 'delete', base: head })
  const answer = await push(cloud.token, 2, pushBody(2, [gone], { cursor }))
  const column = { name: 'id', type: 'INTEGER' }
  const table = { name: 'city', columns: [column], key: ['id'], unique: [], foreignKeys: [] }
  const body = JSON.stringify({ space: 'main', replica: 'replica-a', tables: [table] })
  await cloud.handler.handle({ route: 'putSchema', token: cloud.token, body })
  for (const account of ['ours', 'theirs']) {
    for (const id of ['phone', 'laptop', 'gone']) {
      const name = `${account === 'ours' ? OURS : THEIRS} ${id}`
      await cloud.directory.registerDevice(account, { id, name, platform: 'ios' })
    }
    await cloud.directory.deregisterDevice(account, 'gone')
  }
  return answer
}

async function makeTokens(cloud: TestCloud): Promise<{ readonly [K in Exclude<TokenKind, 'none'>]: string }> {
  const make = async (input: Parameters<TestCloud['makeToken']>[0]) => (await cloud.makeToken(input)).token
  const scoped = (scope: Scope) => make({ scopes: [scope] })
  const revoked = await cloud.makeToken()
  await cloud.directory.revokeToken(revoked.id)
  return {
    all: cloud.token,
    read: await scoped('read'),
    write: await scoped('write'),
    devices: await scoped('devices'),
    bound: await make({ device: 'phone' }),
    elsewhere: await make({ spaces: ['elsewhere'], defaultSpace: 'elsewhere' }),
    theirs: await make({ account: 'theirs', scopes: SCOPES }),
    revoked: revoked.token,
    wrong: `${cloud.token.slice(0, -1)}~`,
  }
}
