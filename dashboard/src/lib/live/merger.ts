/**
 * Merges bursts: the first call after a pause acts at once, all others within `everyMs` become one.
 */
export class Merger {
  private readonly everyMs: number;
  private readonly act: () => void;
  private lastMs = -Infinity;
  private timer: ReturnType<typeof setTimeout> | undefined;

  constructor(everyMs: number, act: () => void) {
    this.everyMs = everyMs;
    this.act = act;
  }

  request(): void {
    if (this.timer !== undefined) return;
    const waitMs = this.lastMs + this.everyMs - performance.now();
    if (waitMs <= 0) this.run();
    else this.timer = setTimeout(() => this.run(), waitMs);
  }

  cancel(): void {
    clearTimeout(this.timer);
    this.timer = undefined;
  }

  private run(): void {
    this.timer = undefined;
    this.lastMs = performance.now();
    this.act();
  }
}
