import { MAX_SPACE_CHARS } from './limits.ts'

export const SPACE_NAME_PATTERN = '^[A-Za-z0-9][A-Za-z0-9._:-]*$'

/** What `SpaceName` says, for those who would load the whole of the schemas for it. */
export const isSpaceName = (name: string): boolean =>
  name.length <= MAX_SPACE_CHARS && new RegExp(SPACE_NAME_PATTERN).test(name)
