/** A block to run, and what the document says it prints; null: the document does not say. */
export interface RecordedBlock {
  readonly script: string
  readonly printed: string | null
}

const BLOCK = /^```bash run\n([\s\S]*?)^```\n(?:\n^```text\n([\s\S]*?)^```\n)?/gm

export const listRecorded = (markdown: string): readonly RecordedBlock[] =>
  [...markdown.matchAll(BLOCK)].map(([, script = '', printed]) => ({ script, printed: printed ?? null }))

/** The document with what was really printed, in the order of its blocks. */
export function record(markdown: string, printed: readonly string[]): string {
  let at = 0
  return markdown.replace(BLOCK, (block: string, script: string, old: string | undefined) => {
    const now = printed[at++] ?? ''
    return old === undefined ? block : `\`\`\`bash run\n${script}\`\`\`\n\n\`\`\`text\n${now}\`\`\`\n`
  })
}

/** Without what is another each time. */
export const steady = (text: string): string =>
  text
    .replace(/[\da-f]{8}-[\da-f]{4}-[\da-f]{4}-[\da-f]{4}-[\da-f]{12}/g, 'ID')
    .replace(/\d{4}-\d\d-\d\dT[\d:.]+Z/g, 'TIME')
    .replace(/process \d+/g, 'process N')
    .replace(/just now|\d+ (?:second|minute)s? ago/g, 'AGO')
    .replace(/127\.0\.0\.1:\d+/g, '127.0.0.1:PORT')
    .replace(/[^\S\n]+/g, ' ')
