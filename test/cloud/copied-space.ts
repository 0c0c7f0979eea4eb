import type { CopiedSpace } from '../../src/cloud/log/copy.ts'

/** What a copy says of a space that has nothing but so many rows. */
export const spaceOfRows = (count: number) =>
  ({
    epoch: 'epoch',
    generations: [{ id: 'generation', start: 0 }],
    head: count,
    floor: 0,
    schema: 0,
    tables: [],
    records: count,
    replicas: 0,
  }) satisfies CopiedSpace
