import { TidemarkError } from '../kernel/errors.ts'
import { ContextChunk, ContextComplete } from '../protocol/approvals.ts'
import { readEvents } from './event-stream.ts'
import { fits } from './fits.ts'
import { openAnswer, type Line } from './request.ts'

export interface ContextInput {
  readonly id: string
  readonly signal?: AbortSignal | undefined
}

/** The whole context of an approval. Rejects with `bad_answer` and `network` rather than answer a part of it. */
export async function readContext(line: Line, { id, signal }: ContextInput): Promise<string> {
  const { response, toError } = await openAnswer(line, 'streamApprovalContext', { id, signal })
  const chunks: string[] = []
  try {
    for await (const { event, data } of readEvents(response)) {
      if (event === 'context_chunk' && fits<ContextChunk>(ContextChunk, data)) {
        if (data.index !== chunks.length) throw damaged('a piece is missing')
        chunks.push(data.chunk)
      } else if (event === 'context_complete' && fits<ContextComplete>(ContextComplete, data)) {
        return await checkWhole(chunks, data)
      } else throw damaged('there is something else in it')
    }
  } catch (thrown) {
    throw toError(thrown)
  }
  throw new TidemarkError('network', 'The context broke off')
}

async function checkWhole(chunks: readonly string[], complete: ContextComplete): Promise<string> {
  const text = chunks.join('')
  const bytes = new TextEncoder().encode(text)
  if (chunks.length !== complete.total_chunks || bytes.length !== complete.total_size)
    throw damaged('it is not as long as it says')
  const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', bytes))
  const hex = Array.from(digest, (byte) => byte.toString(16).padStart(2, '0')).join('')
  if (complete.checksum !== `sha256:${hex}`) throw damaged('its checksum is another one')
  return text
}

const damaged = (why: string): TidemarkError =>
  new TidemarkError('bad_answer', `The context of the approval is damaged: ${why}`)
