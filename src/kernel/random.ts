/** Chance as an argument. */
export interface Random {
  /** A double in [0, 1). */
  next(): number
}

export const systemRandom: Random = {
  next: () => Math.random(),
}

/** A repeatable sequence from a 32-bit seed (sfc32). For tests and simulation, never for secrets. */
export function seededRandom(seed: number): Random {
  let a = 0x9e3779b9 ^ seed
  let b = 0x243f6a88 ^ (seed << 7)
  let c = 0xb7e15162
  let d = 1
  const next = (): number => {
    const t = (((a + b) | 0) + d) | 0
    d = (d + 1) | 0
    a = b ^ (b >>> 9)
    b = (c + (c << 3)) | 0
    c = ((c << 21) | (c >>> 11)) + t
    return (t >>> 0) / 4294967296
  }
  for (let warm = 0; warm < 12; warm++) next()
  return { next }
}

/** A whole number in [0, below). */
export function randomInt(random: Random, below: number): number {
  return Math.floor(random.next() * below)
}

/** A version 7 UUID: 48 bits of `now` in milliseconds, 74 random bits. Not a secret. */
export function uuidV7(now: number, random: Random): string {
  const time = Math.max(0, Math.floor(now)).toString(16).padStart(12, '0').slice(-12)
  const hex = (digits: number) => {
    let out = ''
    while (out.length < digits) out += randomInt(random, 16).toString(16)
    return out
  }
  const variant = (8 + randomInt(random, 4)).toString(16)
  return `${time.slice(0, 8)}-${time.slice(8)}-7${hex(3)}-${variant}${hex(3)}-${hex(12)}`
}
