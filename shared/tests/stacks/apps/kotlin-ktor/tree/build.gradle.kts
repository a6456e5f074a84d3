plugins {
    kotlin("jvm") version "2.1.0"
    id("io.ktor.plugin") version "3.2.3"
}

application {
    mainClass = "hello.AppKt"
}

kotlin {
    jvmToolchain(21)
}

dependencies {
    implementation("io.ktor:ktor-server-netty")
}
