import type { PullAnswer, PullRequest } from '../protocol/pull.ts'
import type { PushAnswer } from '../protocol/push.ts'
import type { WireRecord } from '../protocol/records.ts'

/** Answers that fit the protocol, for tests of what else can happen to them. */

const generation = { id: 'g', start: 0 }

export const SAMPLE_PUSH: PushAnswer = {
  epoch: 'e',
  generation,
  head: 1,
  results: [{ status: 'ok', version: 1 }],
}

export const SAMPLE_RECORD: WireRecord = {
  table: 't',
  key: '[1]',
  version: 1,
  hlc: 1,
  by: 'r',
  fields: { name: 'Zürich 東京' },
}

export const SAMPLE_PULL: PullAnswer = {
  epoch: 'e',
  generation,
  head: 1,
  floor: 0,
  schema: 0,
  records: [SAMPLE_RECORD],
  next: 1,
  has_more: false,
}

export const SAMPLE_PULL_REQUEST: PullRequest = {
  space: 'main',
  replica: 'r',
  cursor: { epoch: 'e', generation: 'g', version: 0, high: 0 },
}
