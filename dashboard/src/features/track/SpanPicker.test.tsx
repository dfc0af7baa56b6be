import { fireEvent, render, screen } from '@testing-library/react';
import userEvent from '@testing-library/user-event';
import { expect, test, vi } from 'vitest';
import { SpanPicker } from './SpanPicker';

const span = { fromMs: new Date('2026-05-10T08:00').getTime(), toMs: new Date('2026-05-10T09:00').getTime() };

test('a typed span is applied', async () => {
  const onSpan = vi.fn();
  render(<SpanPicker span={span} onSpan={onSpan} />);
  fireEvent.change(screen.getByLabelText('To'), { target: { value: '2026-05-10T10:15' } });
  await userEvent.click(screen.getByRole('button', { name: 'Show' }));
  expect(onSpan).toHaveBeenCalledWith({ ...span, toMs: new Date('2026-05-10T10:15').getTime() });
});

test('a backwards span is refused with a word', async () => {
  const onSpan = vi.fn();
  render(<SpanPicker span={span} onSpan={onSpan} />);
  fireEvent.change(screen.getByLabelText('To'), { target: { value: '2026-05-09T10:15' } });
  await userEvent.click(screen.getByRole('button', { name: 'Show' }));
  expect(screen.getByRole('alert').textContent).toContain('must be before');
  expect(onSpan).not.toHaveBeenCalled();
});

test('a preset is one click', async () => {
  const onSpan = vi.fn();
  render(<SpanPicker span={span} onSpan={onSpan} />);
  await userEvent.click(screen.getByRole('radio', { name: 'Yesterday' }));
  expect(onSpan).toHaveBeenCalledOnce();
});
