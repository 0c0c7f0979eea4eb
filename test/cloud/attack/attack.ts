import { ROUTES } from '../../../src/protocol/routes.ts'
import { CLOUD_ROUTES } from '../../../src/cloud/server/unknown-address.ts'
import { bodyBytes, encodingOf, isOutOfStep, type HttpCase, type RouteName } from './http-case.ts'
import type { WaitsFor } from './front.ts'
import type { Outcome, RawAnswer, RawRequest } from './http1-client.ts'
import { judgeAnswer, judgeChange, rightsOf, type Rights } from './judge.ts'
import { LEAK } from './leak.ts'
import { portray, type Portrait } from './portrait.ts'
import type { AttackWorld } from './world.ts'

/** Sends cases to one world, one after the other, and looks at it after each. */
export interface Attack {
  /** The status of the answer, `closed` where there was none. Rejects when something happened that must not. */
  run(kase: HttpCase): Promise<number | 'closed'>
}

/** `lookEvery`: what the cloud keeps is looked at after so many refused requests; where looking is dear, after more. */
export function createAttack(world: AttackWorld, lookEvery = 1): Attack {
  const { cloud } = world
  let standing: Portrait | null = null
  let refused: HttpCase[] = []
  let lines = 0

  async function look(kase: HttpCase, rights: Rights): Promise<void> {
    refused.push(kase)
    if (!rights.mayWrite && !rights.mayMake && refused.length < lookEvery) return
    const suspects = refused
    refused = []
    const before = standing
    standing = null
    const after = await portray(cloud)
    try {
      if (before !== null) judgeChange(rights, before, after)
    } catch (error) {
      if (suspects.length > 1) throw new Error(`one of the last ${suspects.length}`, { cause: error })
      throw error
    }
    // Else it could have taken away a device.
    if (after.kept === before?.kept) standing = after
  }

  return {
    async run(kase) {
      if (standing === null) {
        await world.restore()
        standing = await portray(cloud)
      }
      const { request, waitsFor } = prepare(world, kase)
      const outcome = await world.fronts[kase.front].send(request, waitsFor)
      const status = outcome === 'closed' ? 'closed' : outcome.status
      const served = servedBy(kase)
      if (outcome === 'closed') judgeSilence(kase)
      else judgeAnswer(kase, outcome, served)
      await expectServed(world, kase, outcome, refused.length + 1 >= lookEvery)
      await look(kase, rightsOf(kase, status, served))
      for (const line of cloud.logged.slice(lines)) {
        if (line.startsWith('error')) throw new Error(`logged a failure: ${line}`)
        if (line.includes(LEAK) || line.includes(cloud.token)) throw new Error('logged what came in')
      }
      lines = cloud.logged.length
      return status
    },
  }
}

function prepare(
  world: AttackWorld,
  kase: HttpCase,
): { readonly request: RawRequest; readonly waitsFor: WaitsFor | null } {
  const body = bodyBytes(kase.body, world.places())
  const encoding = encodingOf(kase.body)
  const headers = [
    ...world.credentials(kase.token),
    ...kase.headers,
    ...(encoding === null ? [] : [['content-encoding', encoding] as const]),
  ]
  const waits = kase.body?.kind === 'text' && kase.body.text.includes('"wait"')
  return {
    request: { method: kase.method, path: kase.path, headers, body, delivery: kase.delivery },
    waitsFor: kase.delivery === 'stalled' && body !== null ? 'body' : waits ? 'pull' : null,
  }
}

/** The route that a case in order reaches; null where its address or method is another one. */
function servedBy({ route, method, path }: HttpCase): RouteName | null {
  const [address = ''] = path.split('?', 1)
  return method === ROUTES[route].method && CLOUD_ROUTES.methodsAt(address).includes(method) ? route : null
}

/** A request may end without an answer only where it was not sent as one. */
function judgeSilence(kase: HttpCase): void {
  if (kase.body !== null && isOutOfStep(kase.delivery)) return
  if (kase.front === 'http2' && !isPlain(kase)) return
  throw new Error('the connection was closed without an answer')
}

/** HTTP/2 takes a request with other characters in it, or another kind of address, for a fault of the stream. */
const isPlain = ({ path, headers }: HttpCase): boolean =>
  /^\/[\x21-\x7e]*$/.test(path) && headers.every(([, value]) => /^[\x20-\x7e]*$/.test(value))

/** Where sender and server are no longer in step, or the sender asked for it. */
const mayClose = (kase: HttpCase, { status, headers }: RawAnswer): boolean =>
  (kase.body !== null && isOutOfStep(kase.delivery)) ||
  (status >= 400 && !headers.has('x-content-type-options')) ||
  kase.headers.some(([name]) => name === 'connection' || name === 'upgrade')

/** The connection still works where the server has not said that it ends; in any case the next one does. */
async function expectServed(
  world: AttackWorld,
  kase: HttpCase,
  outcome: Outcome,
  isWhole: boolean,
): Promise<void> {
  const front = world.fronts[kase.front]
  if (outcome !== 'closed' && !front.isOpen && !mayClose(kase, outcome))
    throw new Error('the connection ended with an answer')
  const path = isWhole ? '/sync/status?space=main' : '/healthz'
  const answer = await front.send(
    { method: 'GET', path, headers: world.credentials('all'), body: null, delivery: 'whole' },
    null,
  )
  if (answer === 'closed' || answer.status !== 200)
    throw new Error(`the next request was answered ${answer === 'closed' ? 'not at all' : answer.status}`)
}
