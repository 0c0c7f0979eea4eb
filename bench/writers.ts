import { createCloudProvider } from '../src/providers/cloud/provider.ts'
import { systemClock } from '../src/kernel/clock.ts'
import { hlcFromMs } from '../src/kernel/hlc.ts'
import { systemRandom, uuidV7 } from '../src/kernel/random.ts'
import type { PushRequest } from '../src/protocol/push.ts'
import type { Rig } from './rig.ts'

/** Pushes a second that replicas get answered, durable, one after the other each, spread over some spaces. */
export async function measureWriters(
  rig: Rig,
  options: { readonly writers: number; readonly seconds: number; readonly spaces?: number },
): Promise<number> {
  const provider = createCloudProvider({ endpoint: rig.url, token: rig.token, clock: systemClock })
  const { signal } = new AbortController()
  const end = performance.now() + options.seconds * 1_000
  let pushes = 0
  const write = async (_: unknown, at: number): Promise<void> => {
    const space = `writers-${at % (options.spaces ?? 1)}`
    const replica = uuidV7(Date.now(), systemRandom)
    for (let mutation = 1; performance.now() < end; mutation++) {
      const change = {
        table: 'notes',
        key: `["${replica}-${mutation}"]`,
        op: 'put',
        base: 0,
        hlc: hlcFromMs(Date.now()),
        fields: { id: `${replica}-${mutation}`, body: 'a short note' },
      } as const
      const request: PushRequest = { space, replica, mutation, cursor: null, changes: [change] }
      const { results } = await provider.push(JSON.stringify(request), signal)
      if (results[0]?.status !== 'ok') throw new Error('a push was not taken')
      pushes++
    }
  }
  const begun = performance.now()
  await Promise.all(Array.from({ length: options.writers }, write))
  return (pushes * 1_000) / (performance.now() - begun)
}
