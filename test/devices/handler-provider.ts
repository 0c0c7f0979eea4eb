import type { CloudAnswer, CloudRequest, Handler } from '../../src/cloud/handler/handler.ts'
import type { HydrateChunk, Provider } from '../../src/engine/provider.ts'
import { TidemarkError } from '../../src/kernel/errors.ts'
import type { WireRecord } from '../../src/protocol/records.ts'
import { PROTOCOL_VERSION } from '../../src/protocol/version.ts'

/** The cloud's handler as a provider, with nothing between; `fails` says what is lost on the way. */
export function handlerProvider(
  handler: Handler,
  token: string,
  fails: (way: 'request' | 'answer', route: string) => boolean,
): Provider {
  const ask = async (request: Pick<CloudRequest, 'route'> & Partial<CloudRequest>): Promise<CloudAnswer> => {
    if (fails('request', request.route)) throw new TidemarkError('network')
    const answer = await handler.handle({ token, protocol: String(PROTOCOL_VERSION), ...request })
    if (fails('answer', request.route)) throw new TidemarkError('network')
    return answer
  }
  async function value<T>(request: Pick<CloudRequest, 'route'> & Partial<CloudRequest>): Promise<T> {
    const answer = await ask(request)
    if (answer.kind !== 'json') throw new TidemarkError('bad_answer')
    return answer.value as T
  }
  return {
    name: 'handler',
    push: (body, signal) => value({ route: 'push', body, signal }),
    pull: (request, signal) => value({ route: 'pull', body: JSON.stringify(request), signal }),
    read: (request, signal) => value({ route: 'read', body: JSON.stringify(request), signal }),
    readSchema: (space, signal) => value({ route: 'schema', query: { space }, signal }),
    putSchema: (request, signal) => value({ route: 'putSchema', body: JSON.stringify(request), signal }),
    status: (space, signal) => value({ route: 'status', query: { space }, signal }),
    async *hydrate({ space, replica, tables, resume }, signal): AsyncIterable<HydrateChunk> {
      const query = { space, replica, ...(tables === undefined ? {} : { tables }) }
      const header =
        resume === undefined ? undefined : Buffer.from(JSON.stringify(resume)).toString('base64url')
      const answer = await ask({ route: 'hydrate', query, resume: header, signal })
      if (answer.kind !== 'lines') throw new TidemarkError('bad_answer')
      let at = 0
      for await (const text of answer.lines) {
        const lines = text.split('\n').filter((line) => line !== '')
        const parsed = lines.map((line) => JSON.parse(line) as never)
        if (at === 0) yield { kind: 'start', start: parsed.shift() as never }
        at++
        const reads = parsed.flatMap((line: object) => ('read' in line ? [Number(line.read)] : []))
        const records = parsed.filter((line: object) => !('end' in line || 'read' in line)) as WireRecord[]
        const read = reads.at(-1)
        if (read !== undefined) yield { kind: 'records', records, read }
        else if (records.length > 0) yield { kind: 'records', records }
      }
    },
  }
}
