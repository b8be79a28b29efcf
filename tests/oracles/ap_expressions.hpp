// Expressions of the open ap_fixed header, callable from Python through ctypes.
//
// Every row of a generated table is one instantiation of `unary`, `binary` or `dot`. Values travel
// as int64 raw codes; each call also reports the type that the compiler gave the expression.
#include <ap_fixed.h>

#include <cstdint>

typedef void (*Expression)(const int64_t *a, const int64_t *b, int64_t *out, int64_t count,
                           int64_t *type);

template <int W, int I, bool S, ap_q_mode Q, ap_o_mode O, int N>
void describe(const ap_fixed_base<W, I, S, Q, O, N> &, int64_t *type) {
    type[0] = W;
    type[1] = I;
    type[2] = S;
}

template <int W, int I, bool S, ap_q_mode Q, ap_o_mode O, int N>
int64_t raw(const ap_fixed_base<W, I, S, Q, O, N> &value) {
    return S ? (int64_t)value.V : (int64_t)(uint64_t)value.V;
}

#define UNARY(name, expression)                                              \
    template <class A, int N> struct name {                                  \
        static auto of(const A &a) -> decltype(expression) { return expression; } \
    };
UNARY(Neg, -a)
UNARY(ShiftLeft, a << N)
UNARY(ShiftRight, a >> N)
UNARY(MoveRight, a.template lshift<N>())
UNARY(MoveLeft, a.template rshift<N>())

#define BINARY(name, expression)                                             \
    struct name {                                                            \
        template <class A, class B>                                          \
        static auto of(const A &a, const B &b) -> decltype(expression) { return expression; } \
    };
BINARY(Add, a + b)
BINARY(Sub, a - b)
BINARY(Mul, a * b)
BINARY(Div, a / b)
BINARY(Or, a | b)

template <class A, class Operation>
void unary(const int64_t *a, const int64_t *, int64_t *out, int64_t count, int64_t *type) {
    for (int64_t i = 0; i < count; i++) {
        A left;
        left.V = a[i];
        auto result = Operation::of(left);
        describe(result, type);
        out[i] = raw(result);
    }
}

template <class A, class B, class Operation>
void binary(const int64_t *a, const int64_t *b, int64_t *out, int64_t count, int64_t *type) {
    for (int64_t i = 0; i < count; i++) {
        A left;
        B right;
        left.V = a[i];
        right.V = b[i];
        auto result = Operation::of(left, right);
        describe(result, type);
        out[i] = raw(result);
    }
}

// All six relations, one bit each.
template <class A, class B>
void relations(const int64_t *a, const int64_t *b, int64_t *out, int64_t count, int64_t *) {
    for (int64_t i = 0; i < count; i++) {
        A x;
        B y;
        x.V = a[i];
        y.V = b[i];
        out[i] = (x < y) | (x <= y) << 1 | (x > y) << 2 | (x >= y) << 3 | (x == y) << 4
                 | (x != y) << 5;
    }
}

// Sums of N products in an accumulator that wraps: too few bits would show.
template <class A, class B, class Sum, int N>
void dot(const int64_t *a, const int64_t *b, int64_t *out, int64_t count, int64_t *type) {
    for (int64_t i = 0; i < count; i++) {
        Sum sum = 0;
        for (int j = 0; j < N; j++) {
            A left;
            B right;
            left.V = a[i * N + j];
            right.V = b[i * N + j];
            sum += left * right;
        }
        describe(sum, type);
        out[i] = raw(sum);
    }
}
