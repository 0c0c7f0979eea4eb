import { TidemarkError } from '../kernel/errors.ts'
import { ErrorAnswer } from '../protocol/status.ts'
import { fits } from './fits.ts'
import { toDaemonError } from './request.ts'

/** One event as it came: its data is JSON already. */
export interface ReceivedEvent {
  readonly id: number | null
  readonly event: string
  readonly data: unknown
}

/** Characters of one event: a piece of a context, or a record. */
const MAX_EVENT_CHARS = 64 * 1024 * 1024

/**
 * The events of a stream until it ends. An event `error` is thrown, and so is a stream that breaks off or says
 * something else (`bad_answer`). Comments only keep the connection alive.
 */
export async function* readEvents(response: Response): AsyncGenerator<ReceivedEvent> {
  if (
    response.headers.get('content-type')?.startsWith('text/event-stream') !== true ||
    response.body === null
  )
    throw new TidemarkError('bad_answer', 'The answer is no stream of events')
  const reader = response.body.getReader()
  const decoder = new TextDecoder()
  const parts: string[] = []
  let length = 0
  // The end of a line, of which the next bytes say whether it ends the event too.
  let carried = ''
  try {
    for (;;) {
      const { done, value } = await reader.read()
      if (done) return
      const text = carried + decoder.decode(value, { stream: true })
      carried = text.endsWith('\n') && !text.endsWith('\n\n') ? '\n' : ''
      const blocks = (carried === '' ? text : text.slice(0, -1)).split('\n\n')
      const last = blocks.pop() ?? ''
      for (const block of blocks) {
        const event = parse(parts.splice(0).join('') + block)
        length = 0
        if (event === null) continue
        if (event.event === 'error') throw toError(event.data)
        yield event
      }
      parts.push(last)
      length += last.length
      if (length > MAX_EVENT_CHARS)
        throw new TidemarkError('bad_answer', 'An event of the stream is too large')
    }
  } finally {
    await reader.cancel().catch(() => {})
  }
}

/** Null: a comment, or how long to wait before coming again. */
function parse(block: string): ReceivedEvent | null {
  const fields = new Map<string, string>()
  for (const line of block.split('\n')) {
    const colon = line.indexOf(':')
    if (colon > 0) fields.set(line.slice(0, colon), line.slice(colon + 1).replace(/^ /, ''))
  }
  const data = fields.get('data')
  if (data === undefined) return null
  const id = fields.get('id')
  return {
    id: id !== undefined && /^\d{1,15}$/.test(id) ? Number(id) : null,
    event: fields.get('event') ?? 'message',
    data: parseJson(data),
  }
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text) as unknown
  } catch {
    throw new TidemarkError('bad_answer', 'An event of the stream is no JSON')
  }
}

const toError = (data: unknown): TidemarkError =>
  fits<ErrorAnswer>(ErrorAnswer, data) ? toDaemonError(data) : new TidemarkError('bad_answer')
