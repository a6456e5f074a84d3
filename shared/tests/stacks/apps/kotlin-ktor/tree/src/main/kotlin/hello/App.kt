package hello

fun main() {
    println("/health")
}
