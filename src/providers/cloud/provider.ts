import type { Provider } from '../../engine/provider.ts'
import { isPullAnswer, isPushAnswer, isReadAnswer, isSchemaAnswer, isSpaceStatus } from './answers.ts'
import { readHydrate } from './hydrate.ts'
import { createLine, type CloudOptions } from './line.ts'
import { readAnswer, type Call } from './request.ts'

/**
 * A Tidemark cloud over HTTP. Throws `config_invalid` when endpoint or token cannot be used.
 * Connections are kept alive by the platform's fetch: every answer is read whole or cut.
 */
export function createCloudProvider(options: CloudOptions): Provider {
  const line = createLine(options)
  const send = <Answer>(call: Call, isAnswer: (value: unknown) => value is Answer, signal: AbortSignal) =>
    readAnswer(line, call, isAnswer, signal)

  return {
    name: `cloud ${line.endpoint.host}`,
    push: (body, signal, packed) => send({ route: 'push', body, packed }, isPushAnswer, signal),
    pull(request, signal) {
      const call: Call = { route: 'pull', body: JSON.stringify(request) }
      const { wait } = request
      return send(wait === undefined ? call : { ...call, waitMs: wait * 1_000 }, isPullAnswer, signal)
    },
    hydrate: (request, signal) => readHydrate(line, request, signal),
    read: (request, signal) => send({ route: 'read', body: JSON.stringify(request) }, isReadAnswer, signal),
    readSchema: (space, signal) => send({ route: 'schema', query: { space } }, isSchemaAnswer, signal),
    putSchema: (request, signal) =>
      send({ route: 'putSchema', body: JSON.stringify(request) }, isSchemaAnswer, signal),
    status: (space, signal) => send({ route: 'status', query: { space } }, isSpaceStatus, signal),
  }
}
